"""What an image made of the files that commands have used keeps."""
