"""The checks of `docker build --check`: Dockerfiles that can be built, but probably contain a mistake."""
