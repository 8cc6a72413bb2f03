"""The conventions of Apptainer: the grammar of binds, the environment, the scripts of an image, and the libraries of
GPUs.
"""
