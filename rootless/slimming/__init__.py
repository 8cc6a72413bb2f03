"""Slim images: images of the files that commands have used."""
