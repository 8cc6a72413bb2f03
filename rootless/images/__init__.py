"""Operations on images: load, save, import, commit, list, inspect, tag."""
