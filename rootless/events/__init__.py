"""Events of containers, images and volumes: a log per user, which `rootless events` reads."""
