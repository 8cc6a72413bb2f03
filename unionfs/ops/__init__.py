"""The operations of the union, by family. Each takes the `Tree` and works on nodes; `unionfs.union` is their front."""
