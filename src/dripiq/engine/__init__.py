"""What happens: one verb per module, joined through tables. No stage calls another; only `react` may be called."""
