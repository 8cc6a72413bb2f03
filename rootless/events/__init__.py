"""What has happened to containers, images and volumes: a log per user, which `rootless events` reads."""
