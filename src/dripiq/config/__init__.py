"""How is this process set up? The only reader of the environment: nothing else of dripiq looks into it."""
