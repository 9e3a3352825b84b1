"""Convolutions over tokens, and the block of a network made of them."""
