"""Search spaces as data: one TOML file each, read by ``autogan_ray.spaces.space``; no code runs on load."""
