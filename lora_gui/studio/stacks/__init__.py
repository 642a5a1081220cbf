"""What LoRAs do together: compared, mixed into one, and drawn beside each other."""
