"""Prefect flows around the jobs: parameters, deployments, artifacts, the server."""
