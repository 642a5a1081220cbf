"""LoRA Studio: train LoRAs of your own pictures on your own computer, and draw with them."""

__version__ = "0.1.0"
