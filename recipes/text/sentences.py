"""The recipe for short texts, such as sentences and questions, on word vectors of other texts."""

from spikeseq.recipes.text.recipe import TextClassification


class SentenceClassification(TextClassification):
    """See `Recipe`. It differs from `TextClassification` in the values of its settings."""

    example = "a gripping , often funny film that never quite finds its end ."

    def thesis(self) -> None:
        """The thesis has no such table."""
        return None
