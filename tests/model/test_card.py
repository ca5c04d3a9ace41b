from model.card import model_card
from model.lstm import LSTMConfig
from model.simulator import SimulationSettings, simulate
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.train import train

CONFIG = LSTMConfig(hidden_size=8)


def test_a_card_says_what_the_training_did_and_measured():
    history = read_history(simulate(SimulationSettings(events=15_000, users=300, seed=4)))
    trained = train(history, TrainingSettings(epochs=1, batch_events=1024), CONFIG, lambda _share, _words: None)
    platt = zip(trained.calibration.slopes, trained.calibration.intercepts, strict=True)
    card = model_card("lstm8-abc", CONFIG, platt, trained.training, trained.metrics)
    assert card.startswith("# lstm8-abc\n")
    for fact in ("first_event", "last_event", "validation_from", "test_from"):
        assert trained.training[fact] in card
    for horizon in CONFIG.horizons:
        assert f"{trained.metrics['test'][horizon]['log_loss']:.4f}" in card
        assert f"{trained.training['thresholds'][horizon]:.4f}" in card
        for model in ("cartcast", "ridge", "base_rate"):
            assert f"/ {trained.metrics['chain']['models'][model][horizon]['log_loss']:.4f}" in card
    assert f"- events: {len(history):,}" in card
    assert f"nothing was learnt of {trained.training['hidden_users']} users" in card
    assert f"| beside the ridge | {trained.metrics['verdicts']['session']} |" in card
    assert "- torch: " in card
    assert "- seed: 1" in card


def test_a_checkpoint_without_a_history_has_a_card_too():
    card = model_card("lstm8-abc", CONFIG, [(1.0, 0.0)] * 3, {}, {})
    assert "## Data" not in card
    assert "| session | 1.0000 | 0.0000 | - |" in card
