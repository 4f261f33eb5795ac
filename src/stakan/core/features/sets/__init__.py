"""Further sets of features, one file each; those that begin with `_` are none."""
