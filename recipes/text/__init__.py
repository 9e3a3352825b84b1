"""Sentiment, or any classification of texts."""
