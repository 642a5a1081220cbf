"""What a run has learnt, told from drawings and the run itself; no model, no torch."""
