"""The vocabulary of the exercises and quizzes."""
