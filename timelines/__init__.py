"""What the programs of the book do, recorded for its pictures."""
