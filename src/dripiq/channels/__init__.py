"""How dripiq talks to the providers that carry its messages, and what their answers mean."""
