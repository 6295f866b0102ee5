"""Takes in what a person put on the card: its files, and where each part of them goes."""
