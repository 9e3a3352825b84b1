"""What other libraries make of our networks, and we of theirs: measured, for the documentation."""
