"""The LoRAs kept in order: an index that can be thrown away, notes, names, versions and a bin."""
