"""The specs of `TrainJob` and `GenerateJob`."""
