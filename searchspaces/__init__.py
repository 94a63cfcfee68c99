"""Search spaces as data: one TOML file each, read by ``autogan_ray.space``; no code runs on load."""
