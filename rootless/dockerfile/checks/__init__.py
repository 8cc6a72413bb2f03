"""The checks of `docker build --check`: what can be built, but is probably a mistake."""
