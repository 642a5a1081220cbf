"""What parent and child say to each other: jobs in, events out, the folder of a task, its lock and the device lease."""
