"""What leaves the studio: LoRAs for other programs and people, each read back and drawn with before it is done."""
