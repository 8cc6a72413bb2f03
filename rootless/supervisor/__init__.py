"""The processes of a container: its monitor, its file servers, and the client's side of their protocol."""
