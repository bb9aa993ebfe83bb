"""Data sets: what exists, how it is split, which tags it has. No audio is downloaded from here."""
