"""How well the next item of a shopper is predicted: journeys, targets, ranking metrics and the field's baselines."""
