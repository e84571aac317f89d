"""What lies in the store: typed manifests of every resource, and their layout."""
