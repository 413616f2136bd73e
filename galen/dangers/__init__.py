"""Words of emergencies and of suicide in questions. The judge and the data tools share them."""
