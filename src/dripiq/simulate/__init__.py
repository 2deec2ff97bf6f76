"""A world to run dripiq in: a mail server, a provider, people who read or don't, and a judge who looks at what really happened."""
