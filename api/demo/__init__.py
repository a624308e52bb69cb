"""The demonstration city (示范市): its institutions and accounts, and the story that walks the whole platform."""
