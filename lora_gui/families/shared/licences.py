"""What the licences of the known bases allow, each in a sentence; the licence itself is what counts."""

LICENCES = {
    "Apache-2.0": "Free for any use, also to sell what you draw.",
    "Apache-2.0, CC BY 4.0, MIT": "Free for any use; whose pictures it was made of stands in its licences.",
    "MIT": "Free for any use, also to sell what you draw.",
    "CreativeML OpenRAIL-M": "Free also to sell what you draw, but for the harmful uses that it lists.",
    "CreativeML Open RAIL++-M": "Free also to sell what you draw, but for the harmful uses that it lists.",
    "Stability AI Community License": "Free below one million dollars of yearly revenue; ask Stability AI above that.",
    "FLUX.1 [dev] Non-Commercial License": "The base is for non-commercial use; read what it says of drawings.",
    "FLUX Non-Commercial License": "The base is for non-commercial use; read what it says of drawings.",
}
