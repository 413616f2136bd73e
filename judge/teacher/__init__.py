"""Who gives a verdict: what is asked, what may be replied, and the rehearsal's teacher."""
