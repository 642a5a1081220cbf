"""What the starter knows: the concepts it is trained on, the ones kept out of it, and the background colours."""

# Every name stands in all three icon sets. Each is a plain thing one can name and recognise at 128 px.
CONCEPTS = tuple(
    """
airplane alien ambulance american-football anchor ant avocado axe baby-chick backpack bacon balloon banana banjo
basketball bat bathtub bear bell bicycle bird blossom blowfish bomb bone bowling bread briefcase broccoli broom
bucket bus butterfly cactus camel camera candy carrot castle cat-face chair cheese-wedge cherries chestnut chicken
chocolate-bar christmas-tree cloud clown-face cocktail-glass coin compass cookie coral cow-face crab crescent-moon
crocodile croissant crown cupcake deciduous-tree deer desktop-computer dog-face dolphin door doughnut dragon-face
dress drum eagle ear-of-corn egg eggplant elephant envelope evergreen-tree fallen-leaf fire fire-engine
fire-extinguisher fish flamingo flashlight floppy-disk four-leaf-clover fox french-fries frog game-die gear
gem-stone ghost giraffe glasses goat gorilla grapes grinning-face guitar hamburger hammer hamster handbag headphone
hedgehog helicopter high-heeled-shoe hippopotamus honey-pot honeybee horse-face hot-beverage hot-dog hot-pepper
house ice-cream ice-skate jack-o-lantern jeans jellyfish kangaroo key kite kiwi-fruit koala lady-beetle laptop lemon
light-bulb lion lipstick lizard lobster locked locomotive lollipop magnet maple-leaf microphone microscope
mobile-phone money-bag monkey-face mosquito motor-scooter motorcycle mouse-face mushroom nerd-face nest-with-eggs
octopus olive orangutan owl paintbrush palm-tree pancakes panda parachute parrot peach peacock pear pencil penguin
pig-face pile-of-poo pill pineapple pizza police-car popcorn potted-plant pretzel rabbit-face raccoon racing-car
radio rainbow red-apple red-heart rhinoceros ringed-planet robot rocket rooster rose running-shoe sailboat sandwich
saxophone scarf scissors scorpion screwdriver shark sheaf-of-rice shield ship shrimp skateboard skull skunk sloth
smiling-face-with-sunglasses snail snake snowflake snowman soccer-ball soft-ice-cream spider spiral-shell
spouting-whale star strawberry sun sunflower sunglasses sushi swan t-rex t-shirt taco taxi teapot teddy-bear
telephone television tent tiger-face tomato top-hat tornado tractor train trophy tropical-fish trumpet tulip turkey
turtle umbrella unicorn video-camera violin volcano volleyball watch watermelon wine-glass wolf wrapped-gift wrench
yarn zebra
""".split()
)

# Never shown to the base: what a concept LoRA is for, and the proof that it learns something new.
KEPT_OUT = tuple(
    """
accordion bagel beetle bow-and-arrow canoe chess-pawn cooking crystal-ball diya-lamp dodo falafel fountain-pen hook
kick-scooter llama long-drum lotus maracas moai nesting-dolls oyster peanuts pushpin roller-skate sauropod
sewing-needle telescope tooth toothbrush trident-emblem waffle yo-yo
""".split()
)

# name -> sRGB, the words a caption may use for the background
COLOURS = {
    "white": (250, 250, 250),
    "black": (24, 24, 28),
    "grey": (150, 152, 158),
    "red": (206, 58, 62),
    "orange": (240, 152, 64),
    "yellow": (246, 218, 96),
    "green": (96, 172, 96),
    "blue": (84, 142, 216),
    "purple": (146, 104, 190),
    "pink": (244, 170, 196),
}


def words(name: str) -> str:
    """The English words of an icon's name: `red-apple` is "red apple"."""
    return name.replace("-", " ")


def caption(name: str, colour: str) -> str:
    """The caption the base is trained on, such as `red apple on a blue background`."""
    return f"{words(name)} on a {colour} background"
