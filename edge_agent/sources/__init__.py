"""Where frames and sound come from: photos, clips, cameras, microphones; each opens its library only when used."""
