"""Tasks: how examples are built, drawn, batched and judged."""
