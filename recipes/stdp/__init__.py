"""Digits learnt without labels, by spike timing."""
