"""The command line client `nlite`: one command per operation, over REST to nova-api and cinder-api only."""
