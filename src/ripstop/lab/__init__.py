"""Closes the loop: scenarios, arms and runs in virtual and in real time, their scores and their report."""
