"""Dockerfiles with what docker 28.5 and buildah 1.43 make of them.

`cases/*.txt` has the Dockerfiles, `seen/docker.json` the images and errors that docker gave for them, and
`seen/buildah.json` the layers, configs and errors of buildah; `record.py` is the program that asks them.
`differences.json` lists where this engine's result is another, with the reason.
"""
