"""The conventions of Apptainer, by which images are run on clusters: how binds are written, which variables are passed
on, what the scripts in an image are for, and which libraries of the host its GPUs need."""
