"""The set doctor: whether a picture set will teach well, and what to mend; no model, no torch."""
