"""What explains an answer: tokens with their places, scores over them, and pictures of both."""
