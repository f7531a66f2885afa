"""One file per Azure trigger: bindings only, no logic."""
