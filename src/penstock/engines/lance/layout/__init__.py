"""Tables on disk: paths, column names and encodings, manifests, open handles."""
