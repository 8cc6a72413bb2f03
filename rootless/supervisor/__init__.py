"""The processes beside a container: its monitor, its file servers, and what the client has to do with them."""
