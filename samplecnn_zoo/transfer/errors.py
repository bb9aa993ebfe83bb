"""What can go wrong between features and labels."""


class TransferError(ValueError):
    """Features, labels or a head that can't be used: one line with what is wrong and the way out."""
