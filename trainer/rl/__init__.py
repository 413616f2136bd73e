"""What reinforcement learning shares: rollouts, rewards, advantages, publishing."""
